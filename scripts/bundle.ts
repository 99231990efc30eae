// Puts the modules that `greenlets` consists of into one file of dist/, because Node.js takes milliseconds for each file that it loads.
// The compiler writes one file for each module; this replaces them:
//
//     before   dist/index.js ─► hub/wait.js ─► core/switch.js ─► ...   88 files       dist/tools/lock.js ─► hub/wait.js, ...
//     after    dist/index.js ─► engine.js ─► shared.js                  3 files       dist/tools/lock.js ─► engine.js, shared.js
//
// Modules that `greenlets` does not import stay files of their own, in their places. So do the declarations and the CommonJS build.

import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Plugin, rollup, type RollupOptions } from 'rollup'

const ROOT = resolve(import.meta.dirname, '..')
const DIST = join(ROOT, 'dist')
const INDEX = join(DIST, 'index.js')
/** The name of the file with all modules that the index imports. */
const SHARED = 'shared'
const manifest = readFileSync(join(ROOT, 'package.json'), 'utf8')

/** Rollup continues the maps of the compiler, which lead to the TypeScript. */
const withMaps: Plugin = {
  name: 'with-maps',
  load: (id) => ({
    code: readFileSync(id, 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, ''),
    map: JSON.parse(readFileSync(`${id}.map`, 'utf8')),
  }),
}

const options: RollupOptions = {
  plugins: [withMaps],
  // Node's modules, and the loader of the addon.
  external: (id) => id.startsWith('node:') || id.endsWith('.cjs'),
  // All is kept: what a module does when it is loaded is meant.
  treeshake: false,
  onwarn: ({ message }) => {
    throw new Error(message)
  },
}

const modules = readdirSync(DIST, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.js') && !file.startsWith('cjs/'),
)
const shared = await importedBy(INDEX)
// These declare again what the others declare. In one file with them, functions such as `wait` would get other names.
for (const file of [INDEX, join(DIST, 'engine.js')]) shared.delete(file)
const entries = modules.filter((file) => isPublished(file) || !shared.has(join(DIST, file)))
const bundle = await rollup({
  ...options,
  input: Object.fromEntries(entries.map((file) => [file.slice(0, -'.js'.length), join(DIST, file)])),
})

for (const file of modules) for (const path of [file, `${file}.map`]) rmSync(join(DIST, path))
const { output } = await bundle.write({
  dir: DIST,
  entryFileNames: '[name].js',
  chunkFileNames: '[name].js',
  manualChunks: (id) => (shared.has(id) ? SHARED : undefined),
  // Exports have the names of the functions, which makes the files readable.
  minifyInternalExports: false,
  // A file imports what its module imports, and no more.
  hoistTransitiveImports: false,
  sourcemap: true,
})
const wanted = [...entries, `${SHARED}.js`].flatMap((file) => [file, `${file}.map`])
const unwanted = output.filter(({ fileName }) => !wanted.includes(fileName))
if (unwanted.length > 0) throw new Error(`unexpected files: ${unwanted.map(({ fileName }) => fileName).join(', ')}`)

/** The module and all that it imports. */
async function importedBy(module: string): Promise<Set<string>> {
  const found = new Set<string>()
  const collect: Plugin = { name: 'collect', moduleParsed: ({ id, isExternal }) => void (isExternal || found.add(id)) }
  await rollup({ ...options, plugins: [withMaps, collect], input: module })
  return found
}

/** Whether package.json names the file for programs to import. */
function isPublished(file: string): boolean {
  return manifest.includes(`"./dist/${file}"`)
}
