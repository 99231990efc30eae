'use strict'

// Loads the native addon. It never throws, because importing greenlets works on every platform: a failure is exported
// as `loadError` and becomes the UnsupportedRuntimeError of the first greenlet.

const { existsSync } = require('node:fs')
const { join, resolve } = require('node:path')

function load() {
  const path = process.env.NAPI_RS_NATIVE_LIBRARY_PATH
  if (path) return require(resolve(path))

  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error('there is no binary for this platform')

  // In a checkout `make build` puts the addon beside this file. The published package has none here.
  const local = join(__dirname, 'greenlets.linux-x64-gnu.node')
  if (existsSync(local)) return require(local)

  const wanted = require('../../package.json').version
  const found = require('@greenlets/linux-x64-gnu/package.json').version
  if (found !== wanted) {
    throw new Error(`@greenlets/linux-x64-gnu has version ${found}, but greenlets has version ${wanted}`)
  }
  return require('@greenlets/linux-x64-gnu')
}

function explain(error) {
  const { platform, arch } = process
  const reason = String(error?.message ?? error).split('\n', 1)[0]
  return (
    `greenlets could not load its native addon on ${platform}-${arch}${platform === 'linux' ? ` (${libc()})` : ''}: ` +
    `${reason}. Supported: linux-x64 with glibc 2.17 or newer, installed with optional dependencies`
  )
}

// Called only after a failure: the report takes milliseconds.
function libc() {
  try {
    const version = process.report.getReport().header.glibcVersionRuntime
    return version ? `glibc ${version}` : 'musl'
  } catch {
    return 'unknown libc'
  }
}

try {
  module.exports = load()
} catch (error) {
  module.exports = { loadError: explain(error) }
}
