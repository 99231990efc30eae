/** The native addon's exports, typed in `native.ts`, or only `loadError` where the addon could not be loaded. */
declare const binding: { readonly loadError?: string; readonly [name: string]: unknown }
export = binding
