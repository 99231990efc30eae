// Debian's packages: where this machine's package manager gets them, and whether it can.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** Why this machine does not have Debian's package manager; undefined where it has. */
export function whyNotDebian(): string | undefined {
  if (existsSync(KEYRING) && existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg')) return undefined
  return "this machine has not Debian's package manager with Debian's keys"
}

let mirror: string | undefined

/** The URL of the mirror that this machine's package manager uses, without a slash at its end. */
export function debianMirror(): string {
  mirror ??= sites()[0]
  if (mirror === undefined)
    throw new Error('apt-get knows no mirror of Debian: its package lists are missing or foreign')
  return mirror
}

function sites(): string[] {
  const args = ['indextargets', '--format=$(SITE)', 'Created-By: Packages', 'Origin: Debian']
  const found = execFileSync('apt-get', args, { encoding: 'utf8' }).split('\n')
  return found.map((site) => site.replace(/\/$/, '')).filter((site) => site !== '')
}

/**
 * Fetches packages and what they need, and unpacks them without installing them. The package manager has a state of its own, in
 * `<folder>/apt`, which is removed afterwards; it checks the signatures.
 *
 * @param settings of the package manager, besides those for the state
 * @param rootOf the folder into which a package is unpacked, given its file's name
 */
export function unpackDebian(
  packages: readonly string[],
  folder: string,
  settings: Readonly<Record<string, string>>,
  rootOf: (file: string) => string,
): void {
  const state = join(folder, 'apt')
  for (const part of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(state, part), { recursive: true })
  const all = {
    'Dir::State': state,
    'Dir::Cache': join(state, 'cache'),
    'Acquire::Languages': 'none',
    'APT::Sandbox::User': 'root',
    ...settings,
  }
  const options = ['-qq', ...Object.entries(all).map(([name, value]) => `--option=${name}=${value}`)]
  const apt = (...args: string[]) =>
    execFileSync('apt-get', [...options, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  apt('update')
  apt('install', '--download-only', '--no-install-recommends', '--yes', ...packages)
  const archives = join(state, 'cache/archives')
  for (const name of readdirSync(archives).filter((file) => file.endsWith('.deb'))) {
    const root = rootOf(name)
    mkdirSync(root, { recursive: true })
    execFileSync('dpkg', ['-x', join(archives, name), root])
  }
  rmSync(state, { recursive: true })
}

/** As {@link unpackDebian}, into one root. What is installed is not fetched. The lists are fetched anew: those of the machine may be old. */
export function unpackMissing(packages: readonly string[], root: string): void {
  const settings = { 'Dir::State::status': '/var/lib/dpkg/status', 'Debug::NoLocking': 'true' }
  unpackDebian(packages, root, settings, () => root)
}

/**
 * For `LD_LIBRARY_PATH` of programs in such a root. Some libraries name a folder of private ones by its absolute path, as libpulse
 * does with `/usr/lib/x86_64-linux-gnu/pulseaudio`. In a root that path is wrong, so such folders are listed too.
 */
export function librariesOf(root: string): string {
  const below = (folder: string, wanted: (name: string) => boolean) =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && wanted(entry.name))
      .map((entry) => join(folder, entry.name))
  const shared = below(join(root, 'usr/lib'), (name) => name.endsWith('-linux-gnu'))
  const hasLibraries = (folder: string) => readdirSync(folder).some((name) => /\.so(\.|$)/.test(name))
  return [...shared, ...shared.flatMap((folder) => below(folder, () => true)).filter(hasLibraries)].join(delimiter)
}
