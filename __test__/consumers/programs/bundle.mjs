// `node bundle.mjs <tool> <format> <mode> <entry> <file>` bundles a program with greenlets inside.
//
//     external   the package of the binary stays outside, and is found in node_modules when the program runs
//     copied     the bundler copies the binary beside the program

import { basename, dirname, resolve } from 'node:path'

const [tool, format, mode, entry, file] = process.argv.slice(2)
const BINARY = /^@greenlets\/binding-/
/** Of the other platforms, which are not installed. */
const ABSENT = /^\.\/greenlets\..*\.(?:node|cjs|wasm)$/
const isExternal = (id) => (mode === 'external' && BINARY.test(id)) || ABSENT.test(id)

const TOOLS = {
  async esbuild() {
    const { build } = await import('esbuild')
    const options =
      mode === 'external' ? { external: ['@greenlets/*'] } : { loader: { '.node': 'copy' }, assetNames: '[name]' }
    await build({
      entryPoints: [entry],
      outfile: file,
      bundle: true,
      platform: 'node',
      format,
      minify: true,
      // Its helper, with a short name, is in all functions then.
      keepNames: entry.includes('watch'),
      ...options,
    })
  },
  async webpack() {
    const { default: webpack } = await import('webpack')
    await pack(webpack)
  },
  async rspack() {
    const { rspack } = await import('@rspack/core')
    await pack(rspack)
  },
  async rollup() {
    const { rollup } = await import('rollup')
    const { default: nodeResolve } = await import('@rollup/plugin-node-resolve')
    const { default: commonjs } = await import('@rollup/plugin-commonjs')
    const plugins = [nodeResolve({ exportConditions: ['node'] }), commonjs()]
    const bundle = await rollup({ input: entry, plugins, external: isExternal })
    await bundle.write({ file, format: format === 'esm' ? 'es' : 'cjs' })
  },
  async vite() {
    const { build } = await import('vite')
    await build({
      logLevel: 'warn',
      build: {
        ssr: entry,
        minify: true,
        outDir: dirname(file),
        emptyOutDir: false,
        rollupOptions: { output: { entryFileNames: basename(file) }, external: isExternal },
      },
      ssr: { noExternal: true },
    })
  },
  async tsdown() {
    const { build } = await import('tsdown')
    await build({
      entry: [entry],
      outDir: dirname(file),
      clean: false,
      config: false,
      dts: false,
      format,
      minify: true,
      logLevel: 'warn',
      noExternal: [/^greenlets/],
      external: [BINARY],
      outExtensions: () => ({ js: '.js' }),
      outputOptions: { entryFileNames: basename(file) },
    })
  },
  async ncc() {
    const { createRequire } = await import('node:module')
    const { mkdirSync, writeFileSync } = await import('node:fs')
    const { join } = await import('node:path')
    const { code, assets } = await createRequire(import.meta.url)('@vercel/ncc')(resolve(entry), {
      filename: basename(file),
      quiet: true,
      cache: false,
    })
    for (const [name, { source }] of Object.entries(assets)) {
      mkdirSync(dirname(join(dirname(file), name)), { recursive: true })
      writeFileSync(join(dirname(file), name), source)
    }
    writeFileSync(file, code)
  },
  async parcel() {
    const { Parcel } = await import('@parcel/core')
    await new Parcel({
      entries: [entry],
      defaultConfig: '@parcel/config-default',
      shouldDisableCache: true,
      mode: 'production',
      targets: {
        main: {
          distDir: dirname(file),
          distEntry: basename(file),
          context: 'node',
          includeNodeModules: { greenlets: true },
          outputFormat: 'commonjs',
          engines: { node: '20' },
        },
      },
    }).run()
  },
}

/** webpack's API, which rspack has too. */
async function pack(bundler) {
  const esm = format === 'esm'
  const stats = await new Promise((resolve, reject) =>
    bundler(
      {
        mode: 'production',
        target: 'node20',
        entry,
        experiments: esm ? { outputModule: true } : {},
        output: {
          path: dirname(file),
          filename: basename(file),
          ...(esm ? { module: true, chunkFormat: 'module', library: { type: 'module' } } : {}),
        },
        ...(mode === 'external'
          ? {
              externals: [
                ({ request }, done) =>
                  BINARY.test(request) ? done(null, `${esm ? 'node-commonjs' : 'commonjs'} ${request}`) : done(),
              ],
            }
          : { module: { rules: [{ test: /\.node$/, loader: 'node-loader', options: { name: '[name].[ext]' } }] } }),
      },
      (error, result) => (error ? reject(error) : resolve(result)),
    ),
  )
  if (stats.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }))
}

await TOOLS[tool]()
