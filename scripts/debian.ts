// Debian's packages: where this machine's package manager gets them, and whether it can.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

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
