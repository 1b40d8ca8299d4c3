// SPDX-License-Identifier: GPL-2.0-only
// The same as clients-http.py by Node's keep-alive agent:
// clients-node.js URL PAUSE METHOD,METHOD...
'use strict';

const http = require('http');
const { performance } = require('perf_hooks');

const [url, pause, methods] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });

// What the user would be told, or nothing
function attempt(method, address)
{
	return new Promise((resolve) => {
		const request = http.request(address, { method, agent });

		request.on('response', (answer) => {
			answer.resume();
			answer.on('end', () => resolve(
				answer.statusCode === 200 ? undefined :
				`HTTP ${answer.statusCode}`));
		});
		request.on('error', (e) => resolve(`${e.name}: ${e.message}`));
		request.end(method === 'POST' ? 'hello' : undefined);
	});
}

async function main()
{
	for (const [n, method] of methods.split(',').entries()) {
		const errors = [];

		if (n)
			await new Promise((done) =>
				setTimeout(done, pause * 1000));
		const start = performance.now();

		for (let i = 0; i < 3; i++) {
			const error = await attempt(method, `${url}/${n}`);

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
