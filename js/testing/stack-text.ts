/** The text of a stack that is the same on every run, on every machine and on every Node.js. */

import { isAbsolute, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { typeError } from '../common/errors.ts'
import { checkOptions } from '../common/options.ts'
import { describe } from '../common/values.ts'
import { checkGreenlet, type Greenlet } from '../engine.ts'
import type { Frame } from '../stack/frame.ts'
import { printable } from '../common/text.ts'
import { namesOf } from './parked-at.ts'

/**
 * The options of {@link stackText}.
 *
 * @example
 * ```js
 * const g = new Greenlet(function job() {
 *   Greenlet.main.switch()
 * })
 * g.switch()
 * stackText(g, { lines: false }).startsWith('at job (') // true
 * ```
 */
export interface StackTextOptions {
  /** The folder that paths are relative to. Default: the working directory. */
  readonly root?: string | undefined
  /** Whether the lines of the functions are told. Default: true. Without them, edits elsewhere in a file change nothing. */
  readonly lines?: boolean | undefined
}

/**
 * The stack of a suspended greenlet as text that tests can compare with a snapshot: the same on each run, machine and Node.js. It has no
 * columns and no absolute paths, and positions are those in the sources. Frames of Node.js, and those of a package in `node_modules`,
 * are one line. It is empty where the greenlet is not suspended.
 *
 * @example
 * ```js
 * const g = new Greenlet(function job() {
 *   ;[1].map(() => Greenlet.main.switch())
 * })
 * g.switch()
 * const [, map, job] = stackText(g).split('\n')
 * map // 'at Array.map'
 * job.startsWith('at job (') // true
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function stackText(greenlet: Greenlet, options: StackTextOptions = {}): string {
  checkGreenlet('stackText()', greenlet)
  const { root, lines } = checkOptions<StackTextOptions>('stackText()', options, ['root', 'lines'])
  if (root !== undefined && typeof root !== 'string')
    throw typeError(`root of stackText() is a path, not ${describe(root)}`)
  if (lines !== undefined && typeof lines !== 'boolean')
    throw typeError(`lines of stackText() is a boolean, not ${describe(lines)}`)
  const found: string[] = []
  for (const frame of greenlet.gr_stack) {
    const line = lineOf(frame, root ?? process.cwd(), lines ?? true)
    // Versions differ in how many frames of their own they have.
    if (!line.startsWith('...') || line !== found.at(-1)) found.push(line)
  }
  return found.join('\n')
}

function lineOf(frame: Frame, root: string, withLine: boolean): string {
  const { fileName, lineNumber } = frame.original ?? frame
  const name = printable(nameOf(frame))
  if (frame.isNative) return `at ${name}`
  if (fileName === null) return `at ${name} (evaluated)`
  if (fileName.startsWith('node:')) return '... node'
  const packageName = packageOf(fileName)
  if (packageName !== undefined) return `... ${printable(packageName.replaceAll(sep, '/'))}`
  if (frame.isWasm) return `at ${name} (wasm)`
  const line = withLine && lineNumber !== null ? `:${lineNumber}` : ''
  return `at ${name} (${printable(pathFrom(root, fileName))}${line})`
}

/** The package that a file is in. A name may be as long as the source in a `data:` URL, so no pattern begins anywhere in it. */
function packageOf(fileName: string): string | undefined {
  const [, ...inPackages] = fileName.split(/[\\/]node_modules[\\/]/)
  return /^(?:@[^\\/]+[\\/])?[^\\/]+/.exec(inPackages.at(-1) ?? '')?.[0]
}

/** A receiver is told where it is a class of the program or of V8; versions of V8 name others in different ways. */
function nameOf(frame: Frame): string {
  const [name, full] = namesOf(frame) as [string, string?]
  if (frame.isConstructor) return `new ${name}`
  if (frame.isTopLevel || full === undefined || frame.typeName === 'Object' || frame.typeName === 'Function')
    return name
  return name.startsWith(`${frame.typeName}.`) ? name : full
}

function pathFrom(root: string, fileName: string): string {
  let path = fileName
  try {
    if (fileName.startsWith('file:')) path = fileURLToPath(fileName)
  } catch {
    // It is the URL of a file of another system.
  }
  if (path.startsWith('data:')) return 'data:'
  return isAbsolute(path) ? relative(root, path).replaceAll(sep, '/') : path
}
