/**
 * The version of this package. `make lint` compares it with package.json (scripts/version.ts), because a bundle has no
 * package.json to read.
 */

/**
 * The version of this package.
 *
 * @example
 * ```js
 * /^\d+\.\d+\.\d+/.test(version) // true
 * ```
 */
export const version: string = '0.1.0'
