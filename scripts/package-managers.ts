// How pnpm, yarn 1 and yarn 4 install from a registry on this machine, with nothing left outside of a folder.

import { join } from 'node:path'

export interface PackageManager {
  /** Its program in the node_modules of `consumerTools()`, and the arguments that install. */
  readonly args: readonly [program: string, ...rest: string[]]
  readonly env: Readonly<Record<string, string>>
}

/** `scratch` gets what they keep. */
export function packageManagers(
  registry: string,
  scratch: string,
): Readonly<Record<'pnpm' | 'yarn1' | 'yarn4', PackageManager>> {
  return {
    pnpm: {
      args: ['pnpm/bin/pnpm.cjs', 'install'],
      env: { npm_config_registry: registry, npm_config_store_dir: join(scratch, 'pnpm-store') },
    },
    yarn1: {
      args: ['yarn/bin/yarn.js', 'install', '--registry', registry, '--cache-folder', join(scratch, 'yarn-1')],
      env: {},
    },
    yarn4: {
      args: ['@yarnpkg/cli-dist/bin/yarn.js', 'install'],
      env: {
        YARN_NPM_REGISTRY_SERVER: registry,
        YARN_UNSAFE_HTTP_WHITELIST: '127.0.0.1',
        YARN_ENABLE_IMMUTABLE_INSTALLS: 'false',
        YARN_ENABLE_GLOBAL_CACHE: 'false',
        YARN_ENABLE_TELEMETRY: 'false',
        // A release of today is as good as an old one.
        YARN_NPM_MINIMAL_AGE_GATE: '0',
      },
    },
  }
}
