/**
 * Monkey-patched `fs`: in a greenlet, `readFileSync` waits instead of blocking the thread, so old synchronous code becomes code that
 * lets others run. On main it is as before, also for Node's own module loader.
 */

import fs, { promises } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Greenlet, spawn, wait } from '../../js/index.ts'

const { readFileSync: original } = fs

function patched(...args: Parameters<typeof promises.readFile>): unknown {
  if (Greenlet.current === Greenlet.main) return Reflect.apply(original, fs, args)
  return wait(promises.readFile(...args))
}
fs.readFileSync = patched as typeof fs.readFileSync
// For those who have written `import { readFileSync } from 'node:fs'`.
syncBuiltinESMExports()

/** Old code: it reads a file that includes others, line by line. */
function expand(file: string): string[] {
  const lines = fs.readFileSync(file, 'utf8').trim().split('\n')
  return lines.flatMap((line) => (line.startsWith('@') ? expand(join(folder, line.slice(1))) : [line]))
}

const folder = fs.mkdtempSync(join(tmpdir(), 'greenlets-'))
fs.writeFileSync(join(folder, 'a'), 'one\n@b\nfour\n')
fs.writeFileSync(join(folder, 'b'), 'two\nthree\n')
try {
  let turned = false
  setImmediate(() => (turned = true))
  console.log((await spawn(expand, join(folder, 'a'))).join(' '))
  console.log('the event loop turned meanwhile:', turned)
  console.log(expand(join(folder, 'a')).length, 'lines on main')
} finally {
  fs.readFileSync = original
  syncBuiltinESMExports()
  fs.rmSync(folder, { recursive: true })
}
