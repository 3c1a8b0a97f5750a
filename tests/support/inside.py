"""How a callback URL may try to lead inside: one list, tried on `get_wallet`'s check and on the door out."""

from __future__ import annotations

HOSTS = {
    "decimal": """
        2130706433 2130706433. 167772161 2886729729 3232235521 2852039166 2822734096 1684300900 4294967295
    """,
    "octal": """
        017700000001 0177.0.0.1 0177.0.0.01 0177.1 00000177.1 0127.0.0.1 012.0.0.1 010.0.0.1 0300.0250.0.1
        025177524776 037777777777
    """,
    "hexadecimal": """
        0x7f000001 0X7F000001 0x7f.1 0x7f.0.0.1 127.0.0.0x1 0xa000001 0x0a.0x00.0x00.0x01 0xc0a80001 0xa9fea9fe
        0xa9.0376.0xa9fe 0x64.0x64.0x64.0xc8 0xffffffff
    """,
    "short forms": "127.1 127.0.1 10.1 192.168.1 169.254.43518",
    "loopback": """
        127.0.0.1 127.255.255.254 [::1] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0.0.0.1]
    """,
    "any address": "0.0.0.0 0.0.0.0. 0 0.0 0x0 00 0.1.2.3 [::]",
    "private": "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1",
    "carrier-grade": "100.64.0.1 100.127.255.255",
    "metadata of clouds": """
        169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23 [fd00:ec2::254] [fd00:ec2::23] [fd20:ce::254]
        [fe80::a9fe:a9fe] [::ffff:169.254.169.254] [64:ff9b::a9fe:a9fe] 168.63.129.16 100.100.100.200 192.0.0.192
        metadata.google.internal METADATA.GOOGLE.INTERNAL. metadata
    """,
    "dots at the end": "127.0.0.1. 169.254.169.254. localhost. a.b.localhost. intranet.",
    "reserved": """
        192.0.0.8 192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 192.88.99.1 224.0.0.1 239.1.1.1 240.0.0.1
        255.255.255.255 [2001:db8::1] [3fff::1] [2001:10::1] [2001:20::1] [2001:2::1] [100::1] [5f00::1] [ff02::1]
    """,
    "IPv4-mapped": """
        [::ffff:127.0.0.1] [::FFFF:7F00:1] [::ffff:10.0.0.1] [::ffff:a9fe:a9fe] [0:0:0:0:0:ffff:0a00:0001]
        [::ffff:8.8.8.8]
    """,
    "IPv4-compatible": "[::127.0.0.1] [::7f00:1] [::10.0.0.1]",
    "IPv4-translated": "[::ffff:0:127.0.0.1] [::ffff:0:a00:1]",
    "NAT64": "[64:ff9b::7f00:1] [64:ff9b::10.0.0.1] [64:ff9b::808:808] [64:ff9b:1::a00:1]",
    "6to4": "[2002:7f00:1::] [2002:a00:1::1] [2002:c0a8:101::1]",
    "Teredo": "[2001::1] [2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "unique local": "[fc00::1] [fdff::1]",
    "link-local": "169.254.0.1 [fe80::1] [febf::1]",
    "site-local": "[fec0::1] [feff::1]",
    "names": """
        localhost LOCALHOST LocalHost shop.localhost localhost.localdomain printer.local db.internal
        host.docker.internal wiki.intranet nas.lan router.home.arpa mail.corp box.home key.private
        kubernetes.default.svc.cluster.local abc.onion intranet db a com
    """,
}

URLS = {
    "digits of IDNA": """
        http://１２７.0.0.1/ http://①②⑦.0.0.1/ http://𝟏𝟐𝟕.𝟎.𝟎.𝟏/ http://127。0。0。1/ http://127．0．0．1/ http://127｡0｡0｡1/
        http://２１３０７０６４３３/ http://０ｘ７ｆ.1/ http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/
    """,
    "user-info": """
        http://shop.example.com@127.0.0.1/ http://shop.example.com:443@10.0.0.1:80/ http://127.0.0.1@shop.example.com/
        http://a@b@127.0.0.1/ http://@127.0.0.1/ http://shop.example.com\\@127.0.0.1/ http://127.0.0.1\\@shop.example.com/
        http://shop.example.com#@127.0.0.1/ http://127.0.0.1#@shop.example.com/ http://shop.example.com%40127.0.0.1/
    """,
    "port 0": "http://127.0.0.1:0/ http://shop.example.com:0/ http://shop.example.com:00000/ https://[::1]:0/",
    "percent-encoded": "http://%31%32%37.0.0.1/ http://127%2e0%2e0%2e1/ http://loc%61lhost/ http://[%3a%3a1]/",
    "zones": "http://[fe80::1%25eth0]/ http://[fe80::1%eth0]/ http://[::1%251]/",
    "brackets": "http://[127.0.0.1]/ http://::1/ http://[::1/ http://[v1.a]/",
    "numbers that are none": "http://256.1.1.1/ http://4294967296/ http://1.2.3.4.5/ http://127.0.0.1.0/ http://08.0.0.1/",
    "no web": "file:///etc/passwd gopher://127.0.0.1:70/_x unix:///var/run/docker.sock ftp://10.0.0.1/ //127.0.0.1/",
}

INSIDE_HOSTS = [host for hosts in HOSTS.values() for host in hosts.split()]
SPELLINGS = [f"http://{host}/hook" for host in INSIDE_HOSTS] + [url for urls in URLS.values() for url in urls.split()]
