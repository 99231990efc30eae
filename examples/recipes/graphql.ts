// GraphQL Yoga: resolvers that wait. Each one is made `blocking`; the resolvers of one level run at the same time.

import { setTimeout } from 'node:timers/promises'
import { createSchema, createYoga } from 'graphql-yoga'
import { blocking, wait } from '../../js/index.ts'

const price = (name: string): number => wait(setTimeout(5, name.length))

const yoga = createYoga({
  logging: false,
  maskedErrors: false,
  schema: createSchema({
    typeDefs: `
      type Article { name: String!, price: Int! }
      type Query { articles: [Article!]!, broken: Int }`,
    resolvers: {
      Query: {
        articles: blocking(() => ['apple', 'pear'].filter((name) => price(name) > 0).map((name) => ({ name }))),
        broken: blocking(() => wait(Promise.reject(new Error('out of stock')))),
      },
      Article: {
        price: blocking(({ name }: { name: string }) => price(name)),
      },
    },
  }),
})

const response = await yoga.fetch('http://localhost/graphql', {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ query: '{ articles { name price } broken }' }),
})
const { data, errors } = (await response.json()) as { data: object; errors: { message: string }[] }
console.log(JSON.stringify(data))
console.log(errors.map(({ message }) => message).join())
