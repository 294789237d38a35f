// The search runs in a worker, which browsers do not start for pages read from disk. There it runs
// in a hidden frame. (The theme's `offline` plugin would fetch such a script from elsewhere.)
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc = `<script src="${url}"></script>`
      this.inside = new Promise((ready) => {
        frame.onload = () => {
          const answer = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
          frame.contentWindow.postMessage = answer
          ready(frame.contentWindow)
        }
      })
      document.body.append(frame)
    }

    postMessage(data) {
      this.inside.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {}
  }
  window.Worker = window.IFrameWorker
}
