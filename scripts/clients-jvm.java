// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same as clients-http.py by OkHttp or by Java's own client:
 * Clients okhttp|java URL PAUSE METHOD,METHOD...
 */

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;

class Clients {
	interface Client {
		int request(String method, String url) throws Exception;
	}

	static Client okhttp()
	{
		OkHttpClient client = new OkHttpClient();

		return (method, url) -> {
			RequestBody body = method.equals("POST") ?
				RequestBody.create(MediaType.get("text/plain"),
						   "hello") : null;
			Request request = new Request.Builder().url(url)
				.method(method, body).build();

			try (Response r = client.newCall(request).execute()) {
				r.body().string();
				return r.code();
			}
		};
	}

	static Client java()
	{
		HttpClient client = HttpClient.newBuilder()
			.version(HttpClient.Version.HTTP_1_1).build();

		return (method, url) -> {
			HttpRequest request = HttpRequest.newBuilder(URI.create(url))
				.method(method, method.equals("POST") ?
					HttpRequest.BodyPublishers.ofString("hello") :
					HttpRequest.BodyPublishers.noBody())
				.build();

			return client.send(request,
				HttpResponse.BodyHandlers.ofString()).statusCode();
		};
	}

	/* Returns what the user would be told, or null */
	static String attempt(Client client, String method, String url)
	{
		try {
			int code = client.request(method, url);

			return code == 200 ? null : "HTTP " + code;
		} catch (Exception e) {
			return words(e);
		}
	}

	static double now()
	{
		return System.nanoTime() / 1e6;
	}

	static String words(Throwable e)
	{
		return e.toString().replaceAll("\\s+", " ");
	}

	public static void main(String[] args) throws Exception
	{
		Client client = args[0].equals("okhttp") ? okhttp() : java();
		String[] methods = args[3].split(",");

		for (int n = 0; n < methods.length; n++) {
			String errors = "";
			double start;

			if (n > 0)
				Thread.sleep(Integer.parseInt(args[2]) * 1000);
			start = now();
			for (int i = 0; i < 3; i++) {
				String error = attempt(client, methods[n],
						       args[1] + "/" + n);
				if (error == null)
					break;
				errors += "\t" + error;
			}
			System.out.printf("%d\t%s\t%.1f%s%n", n, methods[n],
					  now() - start, errors);
		}
		System.exit(0);
	}
}
