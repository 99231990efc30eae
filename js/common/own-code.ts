/**
 * Where the code of the package is. Own functions lie at both ends of every suspended stack and are left out of snapshots
 * (`stack/own-frames.ts`). They are told apart by what V8 says of them, not by names and paths, because those depend on the loader:
 * a bundle has the file name of the program, Jest gives a script a path, and a minifier renames functions.
 *
 * Each module of which functions can be at an end of a stack has a first and a last function that do nothing but call the function
 * that they get. V8 says where these calls are, and everything between them is the package's own code.
 */

/** Calls `probe`, and does nothing else. */
export type Mark = <T>(probe: () => T) => T

const regions: (readonly [first: Mark, last: Mark])[] = []

/** Notes that the code from `first` to `last` is the package's own. */
export function addOwnCode(first: Mark, last: Mark): void {
  regions.push([first, last])
}

/** Everything that was noted. */
export function ownCode(): readonly (readonly [first: Mark, last: Mark])[] {
  return regions
}
