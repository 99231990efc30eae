// Makes js/inspect/page/client.text.ts, the script of the page of `greenlets/inspect`, from the files in js/inspect/page/client: the
// package carries it as a text, so that no bundler has to find a file.
//
// `page.ts write` writes it. `page.ts check` fails where it is stale.

import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Script } from 'node:vm'
import prettier from 'prettier'
import ts from 'typescript'

const HOME = resolve(import.meta.dirname, '../js/inspect/page')
/** Each one uses only those before it. */
const FILES = ['dom', 'model', 'rows', 'flame', 'timeline', 'main']
const RESULT = 'client.text.ts'

/** All files share one scope, in which the last of two functions of one name would win. */
const names = new Set<string>()

const texts = FILES.map((name) => {
  const file = join(HOME, `client/${name}.ts`)
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest)
  const statements = source.statements.filter((statement) => !ts.isImportDeclaration(statement))
  for (const { name } of statements.filter(
    (statement) => ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement),
  )) {
    if (names.has(name!.text)) throw new Error(`two files of the page declare ${name!.text}`)
    names.add(name!.text)
  }
  return statements
    .map((statement) => statement.getFullText(source).replace(/^(\s*(?:\/\*[^]*?\*\/\s*)*)export /, '$1'))
    .join('')
})
const { outputText } = ts.transpileModule(texts.join('\n'), {
  compilerOptions: { target: ts.ScriptTarget.ES2023, removeComments: true, module: ts.ModuleKind.None },
})
const client = `(() => {\n${outputText.replace(/^"use strict";\n/, '')}})()\n`
void new Script(client)
if (client.includes('</script')) throw new Error('the script of the page would end too early')

const literal = JSON.stringify(client.split('\n'), null, 2)
const made = `/** Made by scripts/page.ts from client/: the script of the page. */\nexport const CLIENT: string = ${literal}.join('\\n')\n`
const options = await prettier.resolveConfig(join(HOME, RESULT))
const text = await prettier.format(made, { ...options, parser: 'typescript' })
const file = join(HOME, RESULT)
const mode = process.argv[2]
if (mode === 'write') writeFileSync(file, text)
else if (mode === 'check') {
  if (readFileSync(file, 'utf8') !== text)
    throw new Error(`js/inspect/page/${RESULT} is stale; run 'make build' and commit it`)
  console.log('page: the script is made of its sources')
} else throw new Error('usage: page.ts write | check')
