// The lab in the browser: a word of the sentence is chosen by pressing it. No request of its own.
() => {
  if (window.kronvizLab) return;
  window.kronvizLab = true;
  document.addEventListener("keydown", (event) => {
    const word = event.target.closest?.("[data-word][role='button']");
    if (!word || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    word.click();
  });
  document.addEventListener("click", (event) => {
    const word = event.target.closest?.("[data-word]");
    const box = document.querySelector("#kv-lab-word input[type=number]");
    if (!word || !box) return;
    box.value = word.dataset.word;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    box.dispatchEvent(new Event("pointerup", { bubbles: true }));
  });
}
