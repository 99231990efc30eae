// A registry of npm packages on this machine, so that package managers install greenlets by its name as users do, without the network:
// it has the packed tarballs, and what the tests' tools consist of.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

interface Manifest {
  readonly name: string
  readonly version: string
}

interface Entry {
  readonly manifest: Manifest
  /** Makes the tarball. */
  readonly tarball: () => Buffer
}

export interface Registry {
  readonly url: string
  close(): void
}

/** Serves the tarballs in `artifacts`, and the packages of the lock file in `tools`. */
export async function startRegistry(artifacts: string, tools: string): Promise<Registry> {
  const entries = [...packed(artifacts), ...installed(tools)]
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url!.slice(1))
    const [name, file] = path.split('/-/')
    const found = entries.filter(({ manifest }) => manifest.name === name)
    const wanted = found.find(({ manifest }) => `${manifest.version}.tgz` === file)
    if (file !== undefined && wanted !== undefined) response.end(wanted.tarball())
    else if (file === undefined && found.length > 0)
      response.setHeader('content-type', 'application/json').end(JSON.stringify(documentOf(found, url)))
    else response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function documentOf(entries: readonly Entry[], url: string): object {
  const versions = entries.map(({ manifest, tarball }) => {
    const { name, version } = manifest
    const bytes = tarball()
    const hash = (algorithm: string) => createHash(algorithm).update(bytes)
    const dist = {
      tarball: `${url}/${name}/-/${version}.tgz`,
      integrity: `sha512-${hash('sha512').digest('base64')}`,
      shasum: hash('sha1').digest('hex'),
    }
    return [version, { ...manifest, _id: `${name}@${version}`, dist }] as const
  })
  const { name } = entries[0]!.manifest
  return { name, 'dist-tags': { latest: versions.at(-1)![0] }, versions: Object.fromEntries(versions) }
}

function packed(artifacts: string): Entry[] {
  // Those for other machines are in a folder of their own; yarn wants to know them too.
  const files = [artifacts, join(artifacts, 'others')].flatMap((folder) =>
    readdirSync(folder).flatMap((name) => (name.endsWith('.tgz') ? [join(folder, name)] : [])),
  )
  return files.map((file) => {
    const text = execFileSync('tar', ['xzOf', file, 'package/package.json'], { encoding: 'utf8' })
    return { manifest: JSON.parse(text), tarball: () => readFileSync(file) }
  })
}

function installed(tools: string): Entry[] {
  const lock = JSON.parse(readFileSync(join(tools, 'package-lock.json'), 'utf8'))
  return Object.keys(lock.packages).flatMap((place) => {
    const folder = join(tools, place)
    try {
      const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
      // Always the same bytes, because package managers check their hash.
      const args = [
        '--sort=name',
        '--mtime=@0',
        '--exclude=./node_modules',
        '--transform=s,^\\.,package,',
        '-C',
        folder,
      ]
      const tarball = () => execFileSync('tar', ['cz', ...args, '.'], { maxBuffer: 2 ** 30 })
      return [{ manifest, tarball: lazily(tarball) }]
    } catch {
      // A package of another platform.
      return []
    }
  })
}

function lazily<T>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}
