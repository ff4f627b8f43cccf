"""What a bystander feels while somebody abuses the service: `make abuse`.

attacks      what the abuser does, each against a real server process
bystander    somebody else, who asks one small thing every 50 ms
__main__     runs all, and prints the table of docs/security.md
"""
