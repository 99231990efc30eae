/** Writes a dump to a file when an error ends the process. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { writeReport } from './signal.ts'

/**
 * Listens for errors that nothing catches. Returns a function that ends it.
 *
 * @param textOf makes the dump of this thread
 */
export function writeOnError(folder: string, ending: string, textOf: () => string): () => void {
  let count = 0
  const listener = (): void => {
    const time = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')
    const file = join(folder, `greenlets.${time}.${process.pid}.${threadId}.${++count}.${ending}`)
    try {
      writeFileSync(file, textOf(), { flag: 'wx' })
      writeReport(`greenlets: the dump of all greenlets is in ${file}\n`)
    } catch (error) {
      // The error that is being reported is more important than this one.
      writeReport(`greenlets: the dump could not be written: ${(error as Error).message}\n`)
    }
  }
  process.on('uncaughtExceptionMonitor', listener)
  return () => void process.off('uncaughtExceptionMonitor', listener)
}
