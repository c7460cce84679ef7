"""What people read: the board, papers, submissions, the thread's table. Nothing here changes anything."""
