// For typedoc: the pages of the documents have the names of their first headings, in place of the names of their files.

import { readFileSync } from 'node:fs'
import { Converter } from 'typedoc'

export function load(app) {
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (context, document) => {
    const file = context?.project?.files?.getReflectionPath(document) ?? document.sources?.[0]?.fullFileName
    const heading = file && /^# (.+)$/m.exec(readFileSync(file, 'utf8'))?.[1]
    if (heading) document.name = heading.replaceAll('`', '')
  })
}
