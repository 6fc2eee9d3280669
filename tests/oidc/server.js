// A real OpenID Connect provider on the loopback over TLS, for the stories of signing in.
//
// usage: node server.js FOLDER PORT REDIRECT
//   FOLDER    has cert.pem, key.pem, and people.json: by login what the provider says of
//             each ({ "ada": { "email": "ada@example.com", "email_verified": true } }),
//             read anew at each sign-in
//   REDIRECT  where the one client, `slipway`, is sent back to
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { Provider } from 'oidc-provider';

const [folder, port, redirect] = process.argv.slice(2);
const read = (name) => readFileSync(join(folder, name), 'utf8');
const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const provider = new Provider(`https://localhost:${port}`, {
  clients: [{
    client_id: 'slipway',
    client_secret: 'of the stories & more',
    redirect_uris: [redirect],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  cookies: { keys: ['of the stories'] },
  jwks: { keys: [{ ...key, kid: 'first', use: 'sig', alg: 'RS256' }] },
  pkce: { required: () => true },
  findAccount: (_, login) => {
    const { subject, ...said } = JSON.parse(read('people.json'))[login] ?? {};
    return { accountId: login, claims: () => ({ sub: subject ?? login, ...said }) };
  },
});

createServer({ cert: read('cert.pem'), key: read('key.pem') }, provider.callback())
  .listen(Number(port), '127.0.0.1');
