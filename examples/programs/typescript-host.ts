/**
 * The TypeScript compiler reads its sources over the network. Its host is synchronous: `getSourceFile` must return the file. Here it
 * waits for `fetch`, and the compiler needs no change.
 */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import ts from 'typescript'
import { spawn, wait } from '../../js/index.ts'

const FILES: Readonly<Record<string, string>> = {
  '/main.ts':
    "import { half } from './math'\nexport const five: number = half(10)\nexport const wrong: string = half(4)\n",
  '/math.ts': 'export const half = (n: number): number => n / 2\n',
}
const server = createServer((req, res) => {
  const text = FILES[req.url!]
  res.writeHead(text === undefined ? 404 : 200).end(text)
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
let requests = 0

/** The text of a file of the server; undefined where it has none. */
function read(path: string): string | undefined {
  requests++
  const response = wait(fetch(base + path))
  const text = wait(response.text())
  return response.ok ? text : undefined
}

const options: ts.CompilerOptions = { noLib: true, noEmit: true, types: [], module: ts.ModuleKind.ES2022 }
const host: ts.CompilerHost = {
  ...ts.createCompilerHost(options),
  getCurrentDirectory: () => '/',
  fileExists: (path) => read(path) !== undefined,
  readFile: read,
  directoryExists: () => true,
  getDirectories: () => [],
  getSourceFile(path, languageVersion) {
    const text = read(path)
    return text === undefined ? undefined : ts.createSourceFile(path, text, languageVersion)
  },
}

const diagnostics = await spawn(() => {
  const program = ts.createProgram(
    ['/main.ts'],
    { ...options, moduleResolution: ts.ModuleResolutionKind.Bundler },
    host,
  )
  return program.getSemanticDiagnostics()
})
for (const { file, start, messageText } of diagnostics) {
  const { line } = file!.getLineAndCharacterOfPosition(start!)
  console.log(`${file!.fileName}:${line + 1}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`)
}
console.log('read over the network:', requests >= 2)
server.close()
server.closeAllConnections()
