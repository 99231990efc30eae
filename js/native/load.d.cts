import type binding from './binding.cjs'

/** What load.cjs has found. */
declare const loaded: {
  /** The exports of the native addon, whose types come from its sources. */
  readonly addon: typeof binding & {
    /** Why the addon could not be loaded. Where it is set, the functions are missing. */
    readonly loadError?: string
  }
  /** The script that holds load.cjs, as a path or a URL: in a bundle, the bundle. */
  readonly location: string
}
export = loaded
