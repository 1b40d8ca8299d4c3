# SPDX-License-Identifier: GPL-2.0-only
# The same as web.py by Ruby's Net::HTTP: web.rb ruby URL PAUSE
# METHOD,METHOD...  It repeats by itself what is idempotent; its documentation
# leaves nothing to a program.

require 'net/http'

_, url, pause, methods = ARGV
base = URI(url)
http = Net::HTTP.new(base.host, base.port)
http.use_ssl = base.scheme == 'https'
http.keep_alive_timeout = 60 # its own 2 s are the server's, too
http.start

# What the user would be told, or nothing
def attempt(http, method, path)
  http.start unless http.started?
  answer = method == 'POST' ? http.post(path, 'hello') : http.get(path)
  answer.code == '200' ? nil : "HTTP #{answer.code}"
rescue StandardError => e
  "#{e.class}: #{e.message}".split.join(' ')
end

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)
end

methods.split(',').each_with_index do |method, n|
  sleep pause.to_f if n.positive?
  errors = []
  start = now
  3.times do
    error = attempt(http, method, "#{base.path}/#{n}")
    break unless error

    errors << error
  end
  puts [n, method, format('%.1f', now - start), *errors].join("\t")
  $stdout.flush
end
