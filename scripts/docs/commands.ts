// What is done with each command of a shell block: it is run, it is checked in another way, or there is a reason why it is not run.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './blocks.ts'

export type Treatment =
  /** It is run in the folder of the page. */
  | { readonly run: string }
  /** It is checked without being run. */
  | { readonly checked: string; readonly problem: string | undefined }
  | { readonly notRun: string }
  | { readonly problem: string }

/** Commands that are not run, and why. */
const NOT_RUN: readonly (readonly [command: RegExp, reason: string])[] = [
  [/^docker (?:build|run)\b/, 'needs Docker; the instructions of the Dockerfile are followed one by one'],
  [/^npx (?:ava|jest|vitest)\b/, 'a test runner; the tests of these pages run by node and ava'],
  [/^(?:pnpm|yarn) /, 'needs the registry; the stage `consumers` installs with it'],
  [/^kill /, 'needs the process id of a running program'],
  [/^curl /, 'the page calls the same server with fetch'],
  [/^pip3? install /, 'installs packages of Python'],
  [/^(?:git|gh|npm (?:publish|login|deprecate)) /, 'changes a repository or a registry'],
]

/** Packages that a program may need, in `npm install`. */
const OTHERS = new Set(['express', 'koa', 'fastify', 'hono', '@hono/node-server', 'h3', 'ava'])

export function treat(command: string, tarballs: readonly string[]): Treatment {
  const reason = NOT_RUN.find(([pattern]) => pattern.test(command))?.[1]
  if (reason !== undefined) return { notRun: reason }
  const target = /^(?:[A-Z_]+=\S+ )*make ([\w-]+)/.exec(command)?.[1]
  if (target !== undefined) return { checked: 'the Makefile has this target', problem: missingTarget(target) }
  const packages = /^npm (?:install|i) (?!-)(.+)$/.exec(command)?.[1]?.split(' ')
  if (packages !== undefined) return install(packages, tarballs)
  if (/^(?:[A-Z_]+=\S+ )*(?:node|ls|cat|mkdir|cd) /.test(command)) return { run: command }
  // The page is in a folder of the folder that has the package. npx would ask the registry where the link is missing.
  if (command.startsWith('npx greenlets ')) return { run: command.replace(/^npx /, '../../node_modules/.bin/') }
  return { problem: `no rule for the command '${command}': add one to scripts/docs/commands.ts` }
}

/** Installs the tarballs without the network, in a folder of its own. The packages of others are in the folder of the page. */
function install(packages: readonly string[], tarballs: readonly string[]): Treatment {
  const unknown = packages.filter((name) => name !== 'greenlets' && !OTHERS.has(name))
  if (unknown.length > 0)
    return { problem: `npm install of ${unknown.join(', ')}, which is not in __test__/docs/package.json` }
  if (!packages.includes('greenlets')) return { notRun: 'needs the registry; the package is in the folder of the page' }
  const options = '--offline --no-audit --no-fund --loglevel=error'
  return {
    run: `rm -rf installed && mkdir installed && cd installed && npm init -y && npm install ${options} ${tarballs.join(' ')}`,
  }
}

function missingTarget(target: string): string | undefined {
  const makefile = readFileSync(join(ROOT, 'Makefile'), 'utf8')
  return new RegExp(`^(?:[\\w -]* )?${target}(?: [\\w -]*)?:`, 'm').test(makefile)
    ? undefined
    : `the Makefile has no target '${target}'`
}

/** The commands of a block, with continued lines joined. */
export function commandsOf(code: string): string[] {
  return code
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) =>
      line
        .replace(/(?:^|\s+)#.*$/, '')
        .replace(/^\$ /, '')
        .trim(),
    )
    .filter((line) => line !== '')
}
