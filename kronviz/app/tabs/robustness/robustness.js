// Robustness and Your model in the browser: click a word of the sentence to choose it, and open the
// map with a visitor's own table. It makes no requests.
() => {
  if (window.kronvizLab) return;
  window.kronvizLab = true;
  document.addEventListener("keydown", (event) => {
    const word = event.target.closest?.("[data-word][role='button']");
    if (!word || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    word.click();
  });
  document.addEventListener("click", async (event) => {
    const shown = event.target.closest?.("[data-on-map]");
    if (!shown) return;
    const names = shown.dataset.onMap.split(" ");
    document.getElementById("kv-tab-map-button")?.click();
    const radios = () => names.map((name) => document.querySelector(`.kv-map-space input[value="${name}"]`));
    for (let turn = 0; turn < 200 && !radios().every(Boolean); turn += 1) await new Promise((done) => { setTimeout(done, 50); });
    for (const radio of radios()) if (radio && !radio.checked) radio.click();
    document.getElementById("kv-map-pair")?.scrollIntoView({ block: "center" });
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
