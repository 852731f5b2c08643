"""The chat in a terminal: `python -m deltamem.demo`, or `bash deltamem/demo/run_chat_demo.sh`."""
