"""Prints the ipcrypt-pfx pseudonym of each address under a key: the code of the method's author."""

import sys

import ipcrypt

key = bytes.fromhex(sys.argv[1])
for address in sys.argv[2:]:
    print(ipcrypt.pfx_encrypt(address, key))
