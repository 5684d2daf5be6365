// The same calls by Fastify, one process: `node server.js PORT`, with SECRET and DATABASE_URL.
import Fastify from 'fastify'
import jwt from '@fastify/jwt'
import pg from 'pg'

const app = Fastify({ logger: false })
// `cache`: a verified token is remembered, as ours does.
app.register(jwt, { secret: process.env.SECRET, verify: { cache: true } })
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 8 })

const name = { type: 'object', required: ['name'], properties: { name: { type: 'string' } } }
const greeting = { 200: { type: 'object', properties: { greeting: { type: 'string' } } } }
const text = { type: 'string' }
const user = { 200: { type: 'object', properties: { id: text, email: text, name: text } } }
const known = async (request) => { await request.jwtVerify() }

app.post('/hello', { schema: { body: name, response: greeting } }, async (request) => {
  return { greeting: `hello ${request.body.name}` }
})

app.post('/greet', { onRequest: known, schema: { body: name, response: greeting } }, async (request) => {
  return { greeting: `hello ${request.body.name}` }
})

const FIND = 'SELECT id, email, name FROM users WHERE tenant_id = $1 AND id = $2'
app.post('/find', { onRequest: known, schema: { response: user } }, async (request) => {
  const found = await pool.query(FIND, [request.user.tenant_id, request.body.id])
  return found.rows[0]
})

await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) })
