/** One bundle for three carriers: a served page, a saved page, a notebook (see docs/page.md). */

import { mount, unmount } from 'svelte'
import App from './App.svelte'
import { HttpSource } from './source/http'
import { RecordedSource } from './source/recorded'
import { firstLanguage } from './language'
import { Cached } from './source/source'
import { WidgetSource, type WidgetModel } from './source/widget'
import { fetchTexts } from './strings/held'

const place = document.getElementById('neocog')
if (place) {
  const recording = document.getElementById('neocog-answers')
  const source = recording
    ? new RecordedSource(recording.textContent ?? '')
    : new HttpSource(new URLSearchParams(location.search).get('token') ?? '', document.baseURI)
  fetchTexts(firstLanguage(location.hash)).then(
    () => mount(App, { target: place, props: { source: new Cached(source) } }),
    (error: unknown) => { place.textContent = String(error) },
  )
}

/** What anywidget calls in JupyterLab. */
function render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  const source = new WidgetSource(model)
  const app = mount(App, { target: el, props: { source: new Cached(source), notebook: true, restarts: (tell: () => void) => { source.onrestart = tell } } })
  return () => {
    source.close()
    void unmount(app)
  }
}

export default { render }
