"""Works in the background: a line every ten seconds until SIGTERM."""

import signal
import threading

from message import MESSAGE


def main():
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: ended.set())
    print(f"worker: started ({MESSAGE})")
    count = 0
    while not ended.wait(10):
        count += 1
        print(f"worker: done with piece {count}")
    print("worker: ended in order")


if __name__ == "__main__":
    main()
