/** Tells the package's own files from those of the program. */

import { location } from '../native/addon.ts'

const home = homeOf(location)

/** Whether a file is the package's own. The adapters are not, because people want to see their frames. */
export function isOwn(file: string): boolean {
  if (home === undefined) return false
  const path = pathOf(file)
  return path.startsWith(home) && !/^(?:cjs\/)?adapters\//.test(path.slice(home.length))
}

/**
 * The folder of the package, with a slash; undefined in a bundle, where the package's code is in the program's file.
 *
 * @param loader where the package was loaded from: a path or a URL
 */
function homeOf(loader: string): string | undefined {
  return /^(.*\/)native\/load\.cjs$/.exec(pathOf(loader))?.[1]
}

/** The path of a `file:` URL; anything else as it is. */
function pathOf(file: string): string {
  try {
    return file.startsWith('file:') ? decodeURIComponent(new URL(file).pathname) : file
  } catch {
    return file
  }
}
