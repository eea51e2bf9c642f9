// Ends the clock of Gradio's loading screen once the app is there. The screen is removed without
// stopping it, and it would draw a frame 60 times a second for as long as the page is open.
() => {
  const frame = window.requestAnimationFrame.bind(window);
  const loading = () => !document.getElementById("kv-tabs");
  let ticking = false;
  window.requestAnimationFrame = (step) => {
    const clock = ticking || (loading() && String(step).includes("performance.now()-"));
    if (!clock) return frame(step);
    if (!loading()) return 0;
    return frame((time) => {
      ticking = true;
      try { step(time); } finally { ticking = false; }
    });
  };
}
