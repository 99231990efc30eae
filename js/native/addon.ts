/**
 * The exports of the native addon. Their types are made of its sources, by napi-rs.
 */

import binding from './binding.cjs'

interface LoadError {
  /** Why the addon could not be loaded. Where it is set, the functions are missing. */
  readonly loadError?: string
}

export const addon: typeof binding & LoadError = binding
