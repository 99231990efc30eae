/**
 * The exports of the native addon. Their types are made of its sources, by napi-rs.
 */

import type binding from './binding.cjs'
import loaded from './load.cjs'

interface LoadError {
  /** Why the addon could not be loaded. Where it is set, the functions are missing. */
  readonly loadError?: string
}

export const addon = loaded.addon as unknown as typeof binding & LoadError
/** Where this copy of the package was loaded from. */
export const { location } = loaded
