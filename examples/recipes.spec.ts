// The recipes run, and print what they should.

import test from 'ava'
import { runNode } from '../__test__/helpers/program.ts'

const RECIPES: Readonly<Record<string, string>> = {
  nest: '270\n300\nValidation failed (numeric string is expected)\n',
  trpc: '[ 9, 4 ]\na list of articles, please\n',
  graphql: '{"articles":[{"name":"apple","price":5},{"name":"pear","price":4}],"broken":null}\nout of stock\n',
  ws: 'strawberries costs 12\napple costs 5\nfig costs 3\n',
  'socket-io': "[ 9, 4, 'no article' ]\n",
}

const LOADER = 'typescript' in process.features ? [] : ['--import=@oxc-node/core/register']

for (const [name, stdout] of Object.entries(RECIPES)) {
  test(`the recipe ${name}`, async (t) => {
    const ending = await runNode(['--no-warnings', ...LOADER, `examples/recipes/${name}.ts`])
    t.deepEqual(ending, { code: 0, signal: null, stdout, stderr: '' })
  })
}
