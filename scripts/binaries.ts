// Checks of a built addon, before it is packed.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const NEWEST_GLIBC = '2.17'
/** Twice what it has today. More would be a build with symbols, or one that is not optimised. */
const MOST_BYTES = 2 * 1024 * 1024
/** e_machine of the ELF header. */
const MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 }

/** @param platform as napi-rs names it, such as linux-x64-musl */
export function checkBinary(path: string, platform: string): void {
  const [, cpu, libc] = platform.split('-') as [string, string, string]
  checkFile(path, MACHINES[cpu]!)
  if (libc === 'gnu') checkGlibc(path)
  else checkMusl(path)
}

/**
 * The loader in js/native refuses a file that was cut off by what its headers say. So the last of what they name, the
 * table of sections, must end where the file ends: then no byte can be missing unnoticed.
 */
function checkFile(path: string, machine: number): void {
  const bytes = readFileSync(path)
  if (bytes.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new Error(`${path} is no 64-bit ELF file`)
  const found = bytes.readUInt16LE(18)
  if (found !== machine) throw new Error(`${path} is for machine ${found}, not ${machine}`)
  const end = Number(bytes.readBigUInt64LE(40)) + bytes.readUInt16LE(58) * bytes.readUInt16LE(60)
  if (end !== bytes.length)
    throw new Error(`${path} has ${bytes.length} bytes, but its table of sections ends at ${end}`)
  if (bytes.length > MOST_BYTES) throw new Error(`${path} has ${bytes.length} bytes, more than ${MOST_BYTES}`)
}

function checkGlibc(path: string): void {
  const versions = new Set(readelf('--version-info', path).match(/(?<=\bGLIBC_)\d+\.\d+/g))
  if (versions.size === 0) throw new Error(`${path} needs no glibc at all: readelf was misread`)
  const tooNew = [...versions].filter((version) => isNewer(version, NEWEST_GLIBC))
  if (tooNew.length > 0)
    throw new Error(`${path} needs glibc ${tooNew.join(', ')}; ${NEWEST_GLIBC} is the newest allowed`)
}

/** A library for musl names musl's libc, or none, and no version of glibc's symbols. */
function checkMusl(path: string): void {
  const libraries = [...readelf('--dynamic', path).matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => name!)
  const wrong = libraries.filter((name) => !/^(?:libc\.so|libc\.musl-.*|ld-musl-.*|libgcc_s\.so\.1)$/.test(name))
  if (wrong.length > 0) throw new Error(`${path} is for musl, but needs ${wrong.join(', ')}`)
  if (readelf('--version-info', path).includes('GLIBC_')) throw new Error(`${path} is for musl, but needs glibc`)
}

function readelf(option: string, path: string): string {
  return execFileSync('readelf', [option, '--wide', path], { encoding: 'utf8' })
}

function isNewer(a: string, b: string): boolean {
  return a.localeCompare(b, 'en', { numeric: true }) > 0
}
