/**
 * The version of this package, from its package.json.
 */

import { createRequire } from 'node:module'

const manifest = createRequire(import.meta.url)('../../package.json') as { version: string }

/**
 * The version of this package.
 *
 * @example
 * ```js
 * /^\d+\.\d+\.\d+/.test(version) // true
 * ```
 */
export const version: string = manifest.version
