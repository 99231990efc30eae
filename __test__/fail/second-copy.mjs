// A copy of another version waits in a greenlet of the first copy.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Greenlet } from '../../js/index.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(`${root}target/copy-`)
process.on('exit', () => rmSync(folder, { recursive: true }))
for (const part of ['js', 'package.json']) cpSync(root + part, `${folder}/${part}`, { recursive: true })
const file = `${folder}/js/native/copies.ts`
writeFileSync(file, readFileSync(file, 'utf8').replace(/PROTOCOL = \d+/, 'PROTOCOL = 99'))
const { wait } = await import(`${folder}/js/index.ts`)
new Greenlet(() => wait(1)).switch()
