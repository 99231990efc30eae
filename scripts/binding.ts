// Makes the files in js/native/ that napi-rs generates from the `#[napi]` attributes in crates/napi:
//
//     binding.cjs     napi-rs's loader
//     binding.d.cts   the addon's exports, as napi-rs writes them
//     constants.ts    the numbers of its enums, because a `const enum` of another file has none in a file that runs unbuilt
//
// `binding.ts write` takes them from the folder that `napi build` has just written, and writes only those that differ. `binding.ts check` compares them with what the
// sources say now, and changes nothing: clippy has expanded the attributes, and napi-derive has left their types in the folder given.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { generateTypeDef } from '@napi-rs/cli'
import ts from 'typescript'

const ROOT = resolve(import.meta.dirname, '..')
const LOADER = 'js/native/binding.cjs'
const DECLARATIONS = 'js/native/binding.d.cts'
const CONSTANTS = 'js/native/constants.ts'
/** Only a build that also writes the loader declares it. */
const OF_LOADER = '__napiBindingTarget'

const [mode, source] = process.argv.slice(2)
if ((mode !== 'write' && mode !== 'check') || source === undefined) {
  throw new Error('usage: binding.ts write <folder of napi build>, or binding.ts check <folder of types>')
}
const built = (file: string) => readFileSync(join(source, basename(file)), 'utf8')
const declarations = mode === 'write' ? built(DECLARATIONS) : await declarationsFrom(source)
const wanted: Record<string, string> = { [DECLARATIONS]: declarations, [CONSTANTS]: constantsOf(declarations) }
// Clippy does not make the loader.
if (mode === 'write') wanted[LOADER] = built(LOADER)
const stale = Object.entries(wanted).filter(([file, text]) => committed(file) !== text)
if (mode === 'write') for (const [file, text] of stale) writeFileSync(join(ROOT, file), text)
// In CI a build says as well that a file was stale, because nothing that it writes is committed.
if (stale.length > 0 && (mode === 'check' || process.env['CI'] !== undefined)) {
  console.error(
    `${stale.map(([file]) => file).join(', ')}: not what crates/napi says; run 'make build' and commit them`,
  )
  process.exitCode = 1
} else if (mode === 'check') console.log('binding: the types of the addon are those of its sources')

async function declarationsFrom(folder: string): Promise<string> {
  const declareBindingTarget = committed(DECLARATIONS).includes(OF_LOADER)
  const { dts } = await generateTypeDef({ typeDefDir: folder, cwd: ROOT, constEnum: true, declareBindingTarget })
  if (!dts.includes('function attach')) throw new Error(`there are no types of the addon in ${folder}`)
  return dts
}

/** `export const` for each member of each enum: `NoSlot` becomes `NO_SLOT`. */
function constantsOf(text: string): string {
  const file = ts.createSourceFile(DECLARATIONS, text, ts.ScriptTarget.Latest)
  const enums = file.statements.filter(ts.isEnumDeclaration)
  const sections = enums.map((declaration) => {
    const members = declaration.members.map((member) => {
      const name = member.name
        .getText(file)
        .replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_')
        .toUpperCase()
      return `${commentOf(member, file)}export const ${name} = ${member.initializer?.getText(file)}\n`
    })
    const about = commentOf(declaration, file)
      .replaceAll(/^\/\*\* ?| ?\*\/$|^ \* ?/gm, '')
      .trim()
    return `// ${declaration.name.text}: ${about}\n\n${members.join('')}`
  })
  return `/* Made by scripts/binding.ts from the enums of crates/napi; \`make build\` writes it. */\n\n${sections.join('\n')}`
}

/** The docstring of a declaration, with its end of line, without indentation. */
function commentOf(node: ts.Node, file: ts.SourceFile): string {
  const text = node.getFullText(file)
  const comment = text.slice(0, node.getStart(file) - node.getFullStart()).trim()
  return comment === '' ? '' : `${comment.replaceAll(/^ +(?=\*)/gm, ' ')}\n`
}

function committed(file: string): string {
  const path = join(ROOT, file)
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}
