/** Where the dump of a signal goes. */

import { writeSync } from 'node:fs'

const STDERR = 2

/** Writes to standard error, all of it before it returns. */
export function writeReport(text: string): void {
  const bytes = Buffer.from(text)
  try {
    for (let written = 0; written < bytes.length;) written += writeAsMuch(bytes, written)
  } catch {
    // Standard error is closed.
  }
}

function writeAsMuch(bytes: Buffer, from: number): number {
  try {
    return writeSync(STDERR, bytes, from)
  } catch (error) {
    // A pipe of which the reader is slow.
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    return 0
  }
}
