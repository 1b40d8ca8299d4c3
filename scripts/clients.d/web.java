// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same as web.py by OkHttp, Java's own client or Apache's:
 * Clients okhttp|java|apache URL PAUSE METHOD,METHOD...
 *
 * All three repeat by themselves what their documentation says; none names an
 * error after which a program is to do it.
 */

import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import org.apache.http.client.methods.CloseableHttpResponse;
import org.apache.http.client.methods.RequestBuilder;
import org.apache.http.entity.StringEntity;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.util.EntityUtils;

class Clients {
	interface Client {
		int request(String method, String url) throws Exception;
	}

	static TrustManager[] trust() throws Exception
	{
		KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
		TrustManagerFactory factory = TrustManagerFactory.getInstance(
			TrustManagerFactory.getDefaultAlgorithm());

		store.load(null);
		try (FileInputStream in = new FileInputStream(
				System.getenv("SSL_CERT_FILE"))) {
			store.setCertificateEntry("test", CertificateFactory
				.getInstance("X.509").generateCertificate(in));
		}
		factory.init(store);
		return factory.getTrustManagers();
	}

	static SSLContext tls(TrustManager[] trust) throws Exception
	{
		SSLContext context = SSLContext.getInstance("TLS");

		context.init(null, trust, null);
		return context;
	}

	static Client okhttp() throws Exception
	{
		TrustManager[] trust = trust();
		OkHttpClient client = new OkHttpClient.Builder()
			.sslSocketFactory(tls(trust).getSocketFactory(),
					  (X509TrustManager) trust[0])
			.build();

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

	/* It asks a plain HTTP server for an upgrade unless told not to */
	static Client java(boolean plain) throws Exception
	{
		HttpClient client = HttpClient.newBuilder()
			.sslContext(tls(trust()))
			.version(plain ? HttpClient.Version.HTTP_1_1 :
				 HttpClient.Version.HTTP_2).build();

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

	static Client apache() throws Exception
	{
		CloseableHttpClient client = HttpClients.custom()
			.setSSLContext(tls(trust())).build();

		return (method, url) -> {
			RequestBuilder request = RequestBuilder.create(method)
				.setUri(url);

			if (method.equals("POST"))
				request.setEntity(new StringEntity("hello"));
			try (CloseableHttpResponse r =
					client.execute(request.build())) {
				EntityUtils.consume(r.getEntity());
				return r.getStatusLine().getStatusCode();
			}
		};
	}

	static Client client(String name, String url) throws Exception
	{
		switch (name) {
		case "okhttp":
			return okhttp();
		case "apache":
			return apache();
		default:
			return java(url.startsWith("http:"));
		}
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
		Client client = client(args[0], args[1]);
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
