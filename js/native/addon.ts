/**
 * The exports of the native addon. Their types are made of its sources, by napi-rs.
 */

import loaded from './load.cjs'

export const addon: typeof loaded.addon = loaded.addon
/** Where this copy of the package was loaded from. */
export const location: string = loaded.location
