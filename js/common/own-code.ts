/**
 * The list of the places in scripts where the package's own code is. Own functions lie at both ends of every suspended
 * stack and are left out of snapshots (`stack/own-frames.ts`). They are recognised by their position in a script. Names and
 * paths would not do, because they depend on the loader: a bundle has the file name of the program, Jest gives a script a
 * path, and a minifier renames functions.
 *
 * A module with functions that can be at an end of a stack has a first and a last function, which only call the function
 * that they get. V8 tells the position of these calls, and everything between them is the package's own code.
 */

/** Calls `probe`, and does nothing else. */
export type Mark = <T>(probe: () => T) => T

type Region = readonly [first: Mark, last: Mark, ...used: ((...args: never[]) => unknown)[]]

const regions: Region[] = []

/**
 * Notes that the code from `first` to `last` is the package's own. `used` only uses functions once more, and is kept so that
 * minifiers cannot leave it out: they move a function that is used only once to the place where it is used, also out of its
 * file. So function declarations that are marks are passed twice, and those that another file uses once are passed too.
 */
export function addOwnCode(...region: Region): void {
  regions.push(region)
}

/** All regions that were noted. */
export function ownCode(): readonly Region[] {
  return regions
}
