"""Images changed at random, a little differently in every epoch, so that a network learns what does not matter.

draws → transforms → pipeline      Batches and ArraySource send images through a Pipeline
words                              all transforms, and transforms as text

Whatever is drawn hangs on (seed, epoch, image), so that the same pictures come out on any number of threads, in batches
of any size, on every engine, and after a training was killed and resumed.
"""
