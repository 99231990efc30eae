// Follows a Dockerfile without Docker: each instruction is carried out in a plain folder, on the Node of this machine. The base image is
// only compared with the platforms that the package supports.

import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../run.ts'

const MAJORS = ['20', '22', '24', '26']
/** Variants of Node's image on Debian, which has glibc, and on Alpine, which has musl. */
const IMAGE = /^node:(\d+)(?:-(?:alpine|slim|bookworm|bookworm-slim|trixie|trixie-slim))?(?: AS \w+)?$/
const NO_EFFECT = ['USER', 'ENV', 'EXPOSE', 'ARG']

/** Carries out `text` in `folder`, with the files of the page at `context`. Returns what is wrong with it. */
export async function followDockerfile(
  text: string,
  context: string,
  folder: string,
  tarballs: readonly string[],
): Promise<string[]> {
  const problems: string[] = []
  mkdirSync(folder, { recursive: true })
  const instructions = text
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
  if (!instructions[0]?.startsWith('FROM ')) problems.push('it does not begin with FROM')
  for (const instruction of instructions) {
    const [, name = '', rest = ''] = /^(\w+) (.*)$/.exec(instruction) ?? []
    if (name === 'FROM') {
      const major = IMAGE.exec(rest)?.[1]
      if (major === undefined || !MAJORS.includes(major)) problems.push(`the image ${rest} is not a supported one`)
    } else if (name === 'COPY') {
      const paths = rest.replace(/^--from=\w+ /, '').split(' ')
      for (const path of paths.slice(0, -1)) {
        if (!existsSync(join(context, path))) problems.push(`COPY ${path}: the page has no such file`)
        else if (path !== '.') cpSync(join(context, path), join(folder, path), { recursive: true })
      }
    } else if (name === 'RUN') {
      problems.push(...(await carryOut(rest, folder, tarballs)))
    } else if (name === 'CMD') {
      const [program, file] = JSON.parse(rest) as string[]
      if (program !== 'node' || file === undefined || !existsSync(join(context, file)))
        problems.push(`CMD ${rest}: no such program`)
    } else if (name !== 'WORKDIR' && !NO_EFFECT.includes(name)) problems.push(`no rule for ${instruction}`)
  }
  return problems
}

/** The project's own dependencies come from the registry; here, the tarballs take their place. */
async function carryOut(command: string, folder: string, tarballs: readonly string[]): Promise<string[]> {
  if (!/^npm (?:ci|install)(?: --omit=dev)?$/.test(command)) return [`no rule for RUN ${command}`]
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }))
  const install = `npm install --offline --no-audit --no-fund --loglevel=error ${tarballs.join(' ')}`
  const program = `import { runtimeInfo } from 'greenlets'; process.exit(runtimeInfo().supported ? 0 : 1)`
  writeFileSync(join(folder, 'supported.mjs'), program)
  const { end, output } = await run('sh', ['-c', `${install} && node supported.mjs`], { cwd: folder, limit: 120 })
  return end === 0 ? [] : [`RUN ${command}: ${output}`]
}
