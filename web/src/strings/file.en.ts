import { en } from './en'
import { hold } from './held'

hold('en', en)
