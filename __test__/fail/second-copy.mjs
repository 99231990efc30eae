// A second copy of the package makes a greenlet after the first copy did.

import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Greenlet } from '../../js/index.ts'

new Greenlet(() => {})

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(`${root}target/copy-`)
process.on('exit', () => rmSync(folder, { recursive: true }))
for (const part of ['js', 'package.json']) cpSync(root + part, `${folder}/${part}`, { recursive: true })
const copy = await import(`${folder}/js/index.ts`)
new copy.Greenlet(() => {})
