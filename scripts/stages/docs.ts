// Runs every code block of README.md, of docs/ and of the docstrings with the packed package, and compares what they are said to print
// with what they print. Also looks for dead links, compares the lists of the documents with the code, and builds the API reference.

import { rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { blocksOf, docstringBlocks, pages, ROOT } from '../docs/blocks.ts'
import { checkLists } from '../docs/complete.ts'
import { type Home, makeHome } from '../docs/home.ts'
import { checkLinks } from '../docs/links.ts'
import { compile, type PageReport, runPage, withImports } from '../docs/programs.ts'
import { rememberFailure } from '../failures.ts'
import { testedNodes } from '../nodes.ts'
import { type Outcome, run, twoAtOnce } from '../run.ts'
import { counted, sum, type Tally } from '../tally.ts'

/** The one that runs the programs, because it runs TypeScript too. `TEST_NODES` may choose another one. */
const MAJOR = 24
const DOCSTRINGS = 'docstrings'

export async function docs(): Promise<Tally> {
  const only = process.env['DOCS_PAGES']?.split(/[ ,]+/)
  const nodes = testedNodes()
  const node = nodes.find(({ major }) => major === MAJOR) ?? nodes.at(-1)!
  const { problems } = checkLinks()
  const tallies = [tally('links among the documents', problems), tally('lists of the documents', checkLists())]

  const home = makeHome()
  try {
    const work = [
      ...pages().map((page) => ({ page, blocks: blocksOf(page) })),
      { page: DOCSTRINGS, blocks: docstringBlocks().map(withImports) },
    ].filter(({ page, blocks }) => blocks.length > 0 && (only === undefined || only.includes(basename(page, '.md'))))
    const reports = await twoAtOnce(work, async ({ page, blocks }) => {
      const report = await runPage(page.replaceAll(/\W/g, '-'), blocks, home, node.bin)
      const results = page === DOCSTRINGS ? withoutSketches(report.results) : report.results
      tallies.push(
        tally(
          page,
          results.filter((problem) => problem !== undefined),
          results.length,
        ),
      )
      return report
    })
    if (only === undefined) tallies.push(await checkChecks(home, node.bin))
    const all = (key: 'notRun' | 'typescript') => reports.flatMap((report: PageReport) => report[key])
    for (const reason of all('notRun')) console.log(`  not run: ${reason}`)
    const files = all('typescript')
    if (files.length > 0) {
      const problem = await compile(files, home)
      tallies.push(tally('tsc on the programs in TypeScript', problem === undefined ? [] : [problem]))
    }
    if (only === undefined) {
      const outcome = await run('make', ['--no-print-directory', 'docs'], { cwd: ROOT, limit: 300 })
      tallies.push(counted('make docs', outcome, { passed: Number(outcome.end === 0), failed: 0 }))
    }
  } finally {
    if (process.env['DOCS_KEEP'] === undefined) rmSync(home.folder, { recursive: true, force: true })
    else console.log(`  kept: ${join(home.folder, 'pages')}`)
  }
  return sum(tallies)
}

/** An example of a docstring may use a function that it does not define, such as `query`. It is printed, and does not count. */
function withoutSketches(results: PageReport['results']): PageReport['results'] {
  const sketches = results.filter((problem) => /^ReferenceError: \w+ is not defined$/m.test(problem ?? ''))
  for (const problem of sketches)
    console.log(`  not run to its end: ${problem!.split(':', 2).join(':')}: ${/\w+ is not defined/.exec(problem!)![0]}`)
  return results.filter((problem) => !sketches.includes(problem))
}

/** A page on which each block is wrong, so that a check that finds nothing is found. The last three blocks belong together. */
async function checkChecks(home: Home, node: string): Promise<Tally> {
  const blocks = blocksOf('__test__/docs/wrong.txt')
  const { results } = await runPage('wrong', blocks, home, node)
  const right = results.filter((problem) => problem === undefined).length
  const problems =
    right === 2 && results.length === blocks.length ? [] : ['mistakes in __test__/docs/wrong.txt were not found']
  return tally('the checks, with a page on which everything is wrong', problems)
}

function tally(what: string, problems: readonly string[], checked = Math.max(problems.length, 1)): Tally {
  console.log(`  ${what}: ${checked - problems.length} passed, ${problems.length} failed`)
  for (const problem of problems) console.log(problem.replaceAll(/^/gm, '    | '))
  const outcome: Outcome = { end: 1, output: problems.join('\n'), seconds: 0 }
  if (problems.length > 0) rememberFailure(`docs: ${what}`, outcome)
  return { passed: checked - problems.length, failed: problems.length }
}
