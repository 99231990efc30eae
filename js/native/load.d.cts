/** What load.cjs has found. */
declare const loaded: {
  /** The exports of the native addon, typed in `addon.ts`. Only `loadError` where the addon could not be loaded. */
  readonly addon: { readonly loadError?: string; readonly [name: string]: unknown }
  /** The script that holds load.cjs, as a path or a URL: in a bundle, the bundle. */
  readonly location: string
}
export = loaded
