/** The exports of the native addon, typed in `addon.ts`. Only `loadError` where the addon could not be loaded. */
declare const binding: { readonly loadError?: string; readonly [name: string]: unknown }
export = binding
