// SPDX-License-Identifier: GPL-2.0-only
// The same as web.py by Node's keep-alive agent or its fetch (undici):
// web.js node|node-busy|fetch|fetch-busy URL PAUSE METHOD,METHOD...
// In a pause, the busy ones keep the event loop from being told of a close.
'use strict';

const http = require('http');
const https = require('https');
const { performance } = require('perf_hooks');

const [name, url, pause, methods] = process.argv.slice(2);
const { Agent, request } = url.startsWith('https') ? https : http;

// Each resolves to the status, or fails with an error of which "again" tells
// whether the documentation has the request repeated.
const clients = {
	// "request.reusedSocket": repeats if that and ECONNRESET
	node: () => {
		const agent = new Agent({ keepAlive: true });

		return (method, address) => new Promise((resolve, reject) => {
			const sent = request(address, { method, agent });

			sent.on('response', (answer) => {
				answer.resume();
				answer.on('end', () =>
					resolve(answer.statusCode));
			});
			sent.on('error', (e) => {
				e.again = sent.reusedSocket &&
					e.code === 'ECONNRESET';
				reject(e);
			});
			sent.end(method === 'POST' ? 'hello' : undefined);
		});
	},
	// Class RetryHandler: methods and codes that are repeated by default
	fetch: () => async (method, address) => {
		const body = method === 'POST' ? 'hello' : undefined;

		try {
			const answer = await fetch(address, { method, body });

			await answer.text();
			return answer.status;
		} catch (e) {
			e.again = method === 'GET' && ['ECONNRESET',
				'ECONNREFUSED', 'ENOTFOUND', 'ENETDOWN',
				'ENETUNREACH', 'EHOSTDOWN', 'EHOSTUNREACH',
				'EPIPE', 'UND_ERR_SOCKET']
				.includes(e.cause && e.cause.code);
			throw e;
		}
	},
};

// What the user would be told, or nothing
async function attempt(client, method, address)
{
	try {
		const status = await client(method, address);

		return status === 200 ? undefined : `HTTP ${status}`;
	} catch (e) {
		const why = e.cause ? ` (${e.cause.message})` : '';

		return `${e.again ? 'again: ' : ''}${e.name}: ${e.message}${why}`;
	}
}

function wait(ms)
{
	if (name.endsWith('-busy')) {
		const never = new Int32Array(new SharedArrayBuffer(4));

		Atomics.wait(never, 0, 0, ms);
		return undefined;
	}
	return new Promise((done) => setTimeout(done, ms));
}

async function main()
{
	const client = clients[name.split('-')[0]]();

	for (const [n, method] of methods.split(',').entries()) {
		const errors = [];

		if (n)
			await wait(pause * 1000);
		const start = performance.now();

		for (let i = 0; i < 3; i++) {
			const error = await attempt(client, method,
						    `${url}/${n}`);

			if (!error)
				break;
			errors.push(error);
		}
		const took = (performance.now() - start).toFixed(1);

		console.log([n, method, took, ...errors].join('\t'));
	}
	process.exit();
}

main();
